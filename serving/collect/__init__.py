"""Collect: events in Segment's wire format, answered only after the broker has them.

Reading order: `segment` (message to event), `times` (which instant), `body` (bytes to messages), `publish` (to Kafka),
`endpoint` (HTTP around them).
"""
