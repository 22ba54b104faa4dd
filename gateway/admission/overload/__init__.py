"""How many calls may be under way at a time, so that those that are admitted are answered in time.

`settings` has the section, `policy` the policy, and `adaptive` a limit that follows the latency of the calls.
"""
