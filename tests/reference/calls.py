"""One example per action, for the demo account of the simulator."""

from __future__ import annotations

import attrs


@attrs.frozen
class Call:
    """An example of an action, and what has to happen before it."""

    code: str
    before: str = ""
    by_user: bool = False
    """Whether the action accepts access tokens only."""


KATE = "kate.greenway@ws.com"

CALLS = {
    # members
    "me": Call("await ws.me()", by_user=True),
    "get_users": Call("await ws.get_users()"),
    "add_user": Call('await ws.add_user("john.day@example.com", first_name="John", role="guest")'),
    "get_user_groups": Call("await ws.get_user_groups()"),
    "add_user_group": Call('await ws.add_user_group("Night shift")'),
    "get_contacts": Call("await ws.get_contacts()"),
    "add_contact": Call('await ws.add_contact("ann@example.com", "Ann Lee", group="Clients")'),
    "get_contact_groups": Call("await ws.get_contact_groups()"),
    "add_contact_group": Call('await ws.add_contact_group("Suppliers")'),
    "subscribe": Call(f'await ws.subscribe(331894, "{KATE}")'),
    "unsubscribe": Call('await ws.unsubscribe(331894, "frank.harper@ws.com")'),
    "get_users_schedule": Call("await ws.get_users_schedule(datestart=date(2021, 1, 1), dateend=date(2021, 1, 31))"),
    "update_users_schedule": Call(f'await ws.update_users_schedule({{"{KATE}": {{date(2026, 12, 24): "vacation"}}}})'),
    # projects
    "get_projects": Call('await ws.get_projects(filter="active", extra=["text", "tags"])'),
    "get_project": Call('await ws.get_project(6622, extra=["text", "users", "options"])'),
    "post_project": Call('await ws.post_project("Moon", members=["frank.harper@ws.com"], dateend=date(2026, 12, 31))'),
    "update_project": Call(
        'await ws.update_project(26, title="Second steps", options=models.ProjectOptions(allow_close=True))'
    ),
    "close_project": Call("await ws.close_project(26)"),
    "activate_project": Call("await ws.activate_project(8482)"),
    "add_project_members": Call(f'await ws.add_project_members(26, ["{KATE}"])'),
    "delete_project_members": Call('await ws.delete_project_members(6622, ["frank.harper@ws.com"])'),
    "get_project_groups": Call("await ws.get_project_groups()"),
    "add_project_group": Call('await ws.add_project_group("Research")'),
    "get_project_custom_fields": Call("await ws.get_project_custom_fields()"),
    "get_events": Call(
        "await ws.get_events(timedelta(hours=1), id_project=26)", before='await ws.post_task(26, "Launch")'
    ),
    # files
    "get_files": Call("await ws.get_files(id_task=331894)"),
    "download": Call('await ws.download(17694, Path("."))'),
    "upload_files": Call('await ws.upload_files([("notes.txt", b"Buy paint")])'),
    # comments
    "get_comments": Call('await ws.get_comments(330090, extra=["files"])'),
    "post_comment": Call(f'await ws.post_comment(2601, text="Done", email_user_from="{KATE}")'),
    # tags
    "get_task_tags": Call('await ws.get_task_tags(type="status")'),
    "add_task_tags": Call('await ws.add_task_tags("General labels", ["urgent"])'),
    "update_task_tags": Call('await ws.update_task_tags(2601, plus=["In progress"])'),
    "get_task_tag_groups": Call("await ws.get_task_tag_groups()"),
    "add_task_tag_groups": Call('await ws.add_task_tag_groups(["Release"], "status", "public")'),
    "get_project_tags": Call('await ws.get_project_tags(group="Common labels")'),
    "add_project_tags": Call('await ws.add_project_tags("Common labels", ["export"])'),
    "update_project_tags": Call('await ws.update_project_tags(6622, minus=["wiki"])'),
    "get_project_tag_groups": Call("await ws.get_project_tag_groups()"),
    "add_project_tag_groups": Call('await ws.add_project_tag_groups(["Region"], "private")'),
    # tasks
    "get_all_tasks": Call('await ws.get_all_tasks(filter="active", extra=["text"])'),
    "get_tasks": Call('await ws.get_tasks(8562, extra=["text", "files"])'),
    "get_task": Call('await ws.get_task(331894, extra=["subtasks"])'),
    "post_task": Call(f'await ws.post_task(26, "Plan", email_user_to="{KATE}", dateend=date(2026, 12, 1), priority=7)'),
    "update_task": Call("await ws.update_task(2601, priority=9, max_time=timedelta(hours=8))"),
    "complete_task": Call("await ws.complete_task(2601)"),
    "reopen_task": Call("await ws.reopen_task(330142)"),
    "search_tasks": Call('await ws.search_tasks(filter=F.name.has("Sprint") & (F.project == 8562))'),
    "get_task_custom_fields": Call("await ws.get_task_custom_fields()"),
    # costs
    "get_costs": Call("await ws.get_costs(id_project=6622, datestart=date(2021, 1, 1))"),
    "get_costs_total": Call('await ws.get_costs_total(id_project=6622, extra=["projects"])'),
    "add_costs": Call(
        f'await ws.add_costs(2601, time=timedelta(hours=1.5), money=40, comment="Review", email_user_from="{KATE}")'
    ),
    "update_costs": Call("await ws.update_costs(3690, time=timedelta(hours=7))"),
    "delete_costs": Call("await ws.delete_costs(3690)"),
    # timers
    "get_timers": Call("await ws.get_timers()"),
    "stop_timer": Call("await ws.stop_timer(2918)"),
    "get_my_timer": Call("await ws.get_my_timer()", before="await ws.start_my_timer(2601)", by_user=True),
    "start_my_timer": Call("await ws.start_my_timer(2601)", by_user=True),
    "stop_my_timer": Call(
        'await ws.stop_my_timer(comment="Reading")', before="await ws.start_my_timer(2601)", by_user=True
    ),
    "delete_my_timer": Call("await ws.delete_my_timer()", before="await ws.start_my_timer(2601)", by_user=True),
    # webhooks
    "get_webhooks": Call("await ws.get_webhooks()"),
    "add_webhook": Call('await ws.add_webhook("https://hooks.test/in", ["post_task"], projects=[26])'),
    "delete_webhook": Call("await ws.delete_webhook(122)"),
}
