"""Tickets: credentials in a URL, which are good once and for seconds, for one method and one origin.

An EventSource and a WebSocket of a browser cannot set headers. A page asks for a ticket with the credentials
that it has, and opens the stream with the ticket as a query parameter.
"""
