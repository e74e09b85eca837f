"""Take fired actions to their channels: at least once, and never twice for one action id as far as we can know.

Reading order: `retry` (when again), `webhook` and `log_channel` (how), `fence` (done before?) and `together` (one round trip
for many), `deliver` (one action), `offsets` (what may be committed), `dispatcher` (the loop around them).
"""
