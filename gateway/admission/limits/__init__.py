"""How much a caller may ask for: rates, bytes, and concurrent calls and streams, by rules.

`settings` has the rules as they are written, `gcra` the arithmetic, `store` the port behind which counting
stands, `memory` the store of one process, and `policy` the policies of the exchange.
"""
