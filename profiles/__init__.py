"""The profile kernel: what an event does to a person's profile. Pure: no Redis, no Flink, no clock.

Read in this order: `component` (what a capability is), `kernel` (what happens to an event), `state` (what a profile is made
of), `fragments` (how people are put together and taken apart), `inbox` (what was applied already), then `components`.

The folder is not named ``profile``, as Python's own module of that name would hide it.
"""
