"""The ASGI side: one module for each transport, over the translation and the upstream port.

Rule: thin. What can be said without a socket is said in `gateway.transcoding`; a call lives inside the
`async with` in which its answer is sent, so that leaving the block, for whatever reason, ends it upstream.
"""
