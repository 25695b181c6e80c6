"""Batches: a plan file carried out on DBOS, each item once, under AWS's quotas, on one machine or many.

    plan file ──► reading, models, judging ──► Plan ──► store (SQLite, or PostgreSQL for many machines)
                                                          │
    leader (feeding) ──► send ──► task ──► finish     one DBOS workflow per stage, each on its own queue
                          │        │         └─ tags, registers, tidies up
                          │        └─ holds a slot of its account, Region and pool while AWS works
                          └─ checks and uploads, a few at a time on each machine

`running` is the way in. Nothing here is imported by the single verbs.
"""
