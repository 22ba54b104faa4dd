"""What streams are read from: a call of one's own, or a feed, which is one call with many readers.

Rule: what is sent to a caller comes from a `Source`; only this room knows whose call it is, what is kept of
it, and what becomes of a reader that lags behind, leaves, or comes back.
"""
