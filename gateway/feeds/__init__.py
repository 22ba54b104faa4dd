"""Sources of streams: a call with one reader, or a feed, which is one call with many readers.

Rule: every streamed response reads from a `Source`. Only this package knows which call that is, which
    messages
are buffered, and what happens to a reader that is slow, disconnects or resumes.
"""
