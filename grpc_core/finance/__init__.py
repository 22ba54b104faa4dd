"""The domain: currencies, their rates, and what an amount is worth in another one.

Rule: no grpc, no protobuf and no asyncio here; the clock and randomness are passed in.
"""
