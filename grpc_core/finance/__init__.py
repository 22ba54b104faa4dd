"""The domain: currencies, exchange rates, and conversion.

Rule: no grpc, protobuf or asyncio; the clock and randomness are passed in.
"""
