"""Documents that people edit while everything runs: tracking plan, traffic table, identity rules, tags and triggers.

Every version is kept in the definitions database, with its author and the reason. Read `kinds.py` first, which has a row for each
kind; then `store.py` (versions in the database), `watch.py` (what is in force, in memory), `publish.py` (the same, for other
programs) and `router.py` (the endpoints that all kinds have in common).
"""
