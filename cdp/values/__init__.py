"""Values as shops, tills and spreadsheets write them: one reader for each kind, used by every way in.

A reader takes what came and gives the value, or raises ValueError with the reason. What is not certain is refused: nothing is
guessed. `docs/values.md` has a table for each reader, which the tests go by.
"""
