"""The store of feeds: one feed for several processes, its messages in an order that all of them see.

Rule: `rules` says what a store does, as a pure function of a record and a clock. `redis_scripts` says the
same to Redis. Neither knows readers, calls or JSON.
"""
