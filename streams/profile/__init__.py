"""PROFILE: the log's protocol around the profile kernel.

Read in this order: `step` (one batch), `event` (one event), `command` and `wake` (what else changes a profile), `emit` (what
follows for others), `outbox` and `store` (how it is kept), then `transfer`, `reassign` and `recount` (fragments that move).
"""
