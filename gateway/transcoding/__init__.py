"""The translation, sans-IO: HTTP's texts and bytes into protobuf's bytes, and back.

Rule: no await, no clock, no socket, no log. What a caller did wrong is a `StatusError`; anything else that
is raised here is a bug.
"""
