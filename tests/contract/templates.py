"""Random path templates."""

from __future__ import annotations

from hypothesis import strategies as st

from gateway.contract.path_template import DEEP_WILDCARD, WILDCARD, PathTemplate, Variable

_LITERALS = st.sampled_from(
    ["a", "b", "v1", "shelves", "x.y", "a-b", "%2F", "%2a", "~", "@me", "$"]
)
_VERBS = st.sampled_from(["", "", "watch", "cancel", "%2c"])


@st.composite
def templates(draw: st.DrawFn) -> PathTemplate:
    """Draws a template that follows the grammar."""
    segments: list[str] = draw(st.lists(_LITERALS | st.just(WILDCARD), max_size=6))
    if draw(st.booleans()):
        segments.append(DEEP_WILDCARD)
    variables: list[Variable] = []
    at = 0
    while at < len(segments):
        if draw(st.booleans()):
            end = draw(st.integers(at + 1, len(segments)))
            captured = segments[at:end]
            multi_segment = len(captured) > 1 or captured == [DEEP_WILDCARD]
            variables.append(Variable(f"f{len(variables)}", at, end, multi_segment))
            at = end
        else:
            at += 1
    verb = draw(_VERBS) if segments else ""
    return PathTemplate(tuple(segments), tuple(variables), verb)
