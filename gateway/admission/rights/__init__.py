"""Who may call what: rules of the settings, and the option `gateway.v1.rights` of the contract."""
