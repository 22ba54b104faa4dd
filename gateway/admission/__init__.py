"""Who may come in, from where, and how much: policies that the settings switch on.

Each subject has a module, or a room, with its own section of the settings beside it (`CorsSettings` beside
`Cors`). `gateway.admission.admission` has their order.
"""
