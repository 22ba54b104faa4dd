"""A Redis or Valkey that the replicas of an edge share: its settings, its address, and the connection to it.

What is kept there is for others to say: `admission.limits`, `admission.tickets`. Only `client` imports the
package `redis`, which is an extra, and only `making` imports `client`.
"""
