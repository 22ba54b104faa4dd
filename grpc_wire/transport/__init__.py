"""A connection on an asyncio socket, for both sides: reading, writing, timers."""
