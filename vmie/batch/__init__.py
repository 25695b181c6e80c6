"""Batches: a plan file carried out on DBOS, each item once, under AWS's quotas, on one machine or many.

    plan file ──► plan (read, validate) ──► BatchPlan ──► store (SQLite or PostgreSQL) ──► report
                                                          │
    run: scheduler ──► send ──► task ──► finish       one DBOS workflow per stage, each on its own queue
                        │        │         └─ tags, registers, tidies up
                        │        └─ holds a slot of its account, Region and pool while AWS works
                        └─ checks and uploads, a few at a time on each machine

`run.api` is the way in; `estimate` is what `--dry-run` shows. Nothing here is imported by the single verbs.
"""
