"""What a sandbox begins with, from a file: the schema, reading it, and putting it into moto.

schema ◄─ reading (YAML, or the archive of a saved world) ─► populate
"""
