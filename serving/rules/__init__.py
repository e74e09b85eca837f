"""Tags and triggers as documents: edit them live, by versions, and put them in force together, by numbered books.

Read `books.py` first (a change makes the next book), then `live.py` (the book in force, and how the stream gets it), `shipped.py`
(what an upgrade of the platform does) and `router.py`.
"""
