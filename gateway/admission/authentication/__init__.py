"""Who calls: tokens, API keys, and whatever else tells who a caller is.

`authenticator` has the port that each kind of credentials implements, `authentication` the policy that asks
them in their order. Whether a request must have an identity is not decided here, but by the rights.
"""
