"""Flags over environment over file over default, frozen."""
