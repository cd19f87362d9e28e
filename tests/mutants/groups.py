"""The modules that are mutated, and the tests that must notice it. A group is one run of mutmut."""

from __future__ import annotations

import attrs


@attrs.frozen
class Group:
    """Modules and their tests."""

    modules: list[str]
    """Below the package."""
    tests: list[str]
    """Below the folder of tests."""
    without: list[str] = attrs.field(factory=list)
    """Prefixes of test ids that are too slow to run for each mutant, or start processes."""


GROUPS = {
    "limits": Group(
        ["_limits/bucket_state.py", "_limits/queue.py", "_limits/statistics.py"],
        [
            "limits/test_bucket_state.py",
            "limits/test_queue.py",
            "limits/test_statistics.py",
            "limits/test_limiter.py",
            "limits/test_slots.py",
        ],
        [
            "limits/test_bucket_state.py::TestSharedBucket",
            "limits/test_limiter.py::test_the_promises_hold_for_any_order_of_events",
            "limits/test_limiter.py::test_threads_with_event_loops_of_their_own_share_a_bucket",
            "limits/test_limiter.py::test_each_waiting_call_is_woken_at_most_twice[3000]",
        ],
    ),
    "limiter": Group(
        ["_limits/limiter.py"],
        [
            "limits/test_limiter.py",
            "limits/test_slots.py",
            "limits/test_default_limiter.py",
        ],
        [
            "limits/test_limiter.py::test_the_promises_hold_for_any_order_of_events",
            "limits/test_limiter.py::test_threads_with_event_loops_of_their_own_share_a_bucket",
            "limits/test_limiter.py::test_each_waiting_call_is_woken_at_most_twice[3000]",
        ],
    ),
    "retry": Group(["_transport/retry.py"], ["session/test_retry.py"]),
    "tokens": Group(
        ["_auth/oauth2.py", "_auth/token.py"],
        [
            "auth/test_oauth2.py",
            "auth/test_refresh_decisions.py",
            "auth/test_credentials.py",
            "auth/test_token_stores.py",
            "session/test_users.py",
        ],
        [
            "session/test_users.py::test_a_thousand_users",
            "auth/test_oauth2.py::test_500_calls",
            "auth/test_token_stores.py::test_a_killed_process",
            "auth/test_token_stores.py::test_the_redis_lock",
        ],
    ),
    "formats": Group(
        ["_protocol/formats.py", "_protocol/compound_formats.py", "_protocol/encoding.py", "_protocol/values.py"],
        [
            "protocol/test_formats_in_requests.py",
            "protocol/test_encoding.py",
            "protocol/test_values.py",
            "protocol/test_call.py",
            "protocol/test_filter_language.py",
        ],
        ["protocol/test_formats_in_requests.py::test_any_value_is_encoded"],
    ),
    "envelope": Group(
        ["_protocol/envelope.py", "_protocol/decoding.py"],
        [
            "protocol/test_envelope.py",
            "protocol/test_flat_replies.py",
            "protocol/test_refusals.py",
            "protocol/test_decoding.py",
            "auth/test_oauth_app.py",
        ],
        [
            "protocol/test_envelope.py::test_a_damaged_reply",
            "protocol/test_envelope.py::test_a_list_of_records",
            "protocol/test_envelope.py::test_any_type_of_data",
            "protocol/test_envelope.py::test_invalid_record_among",
        ],
    ),
    "replies": Group(
        [
            "models/_reply_formats.py",
            "models/_field_types.py",
            "_protocol/layout.py",
            "_protocol/structure.py",
            "_protocol/tolerance.py",
        ],
        [
            "protocol/test_formats_in_replies.py",
            "protocol/test_structure.py",
            "protocol/test_tolerance.py",
            "protocol/test_time_zones.py",
        ],
        [
            "protocol/test_formats_in_replies.py::test_text_round_trip",
            "protocol/test_formats_in_replies.py::test_any_json_value",
            "protocol/test_structure.py::test_litestar",
            "protocol/test_structure.py::test_pickles",
            "protocol/test_tolerance.py::test_any_value_in_any_place",
            "protocol/test_time_zones.py::test_any_name",
            "protocol/test_time_zones.py::test_another_zone",
            "protocol/test_time_zones.py::test_a_machine",
        ],
    ),
}
