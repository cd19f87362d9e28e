"""Renders the page with the table of all actions; tests/reference renders those with parameters and examples."""

from ._python import return_annotation
from ._schema import ActionSpec, Group, Spec
from ._source import MARK, join_lines

INTRO = (
    "Each action of the service is a coroutine method of `Session` with the name of the action. "
    "The links lead to its parameters and an example with its reply. "
    "Required parameters (bold) can be positional; all others are keyword-only. "
    "*Retried* tells whether a call is sent again if its reply was lost. "
    "*Source* tells where the facts come from: the vendor's documentation (docs), a recorded reply (recorded), "
    "the vendor's own client (vendor-client) or inference (inferred)."
)


def render_page(spec: Spec) -> str:
    """Return the page."""
    groups = (_group(name, group) for name, group in spec.groups.items())
    return join_lines(f"<!-- {MARK} _spec/*.toml -->\n", f"# Actions\n\n{INTRO}\n", groups).rstrip() + "\n"


def _group(name: str, group: Group) -> str:
    return join_lines(
        f"## {group.title}\n",
        f"[Vendor page]({group.source})\n",
        "| action | parameters | returns | scope | retried | source |",
        "|---|---|---|---|---|---|",
        (_row(action, it, f"reference/actions-{name}.md") for action, it in group.actions.items()),
    )


def _row(name: str, action: ActionSpec, page: str) -> str:
    returns = "DownloadedFile" if action.returns == "file" else return_annotation(action.returns)
    cells = [
        f"[`{name}`]({page}#{name}): {action.doc}",
        ", ".join(f"**{param}**" if it.required else param for param, it in action.params.items()) or "–",
        f"`{returns}`".replace("|", "\\|"),
        action.scope + (" (access token only)" if action.credential == "token" else ""),
        "yes" if action.can_repeat else "no",
        action.evidence,
    ]
    return f"| {' | '.join(cells)} |"
