"""The translation between HTTP and protobuf messages, sans-IO.

Rule: no await, clock, socket or log. An invalid request is a `StatusError`; any other exception that leaves
    this
package is a bug.
"""
