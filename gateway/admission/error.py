"""What stops the start: settings of a policy that cannot be obeyed."""


class AdmissionError(Exception):
    """A policy cannot be made of its settings. The text is one line, and names the setting."""
