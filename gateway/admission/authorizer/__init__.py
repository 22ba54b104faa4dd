"""Another program that decides about requests: Envoy's `ext_authz` over gRPC, or one over plain HTTP."""
