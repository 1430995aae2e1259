"""Which database a test runs on: most on both, and on SQLite alone where PostgreSQL could make no difference.

Such a test is about what pages show, or about input that is refused before a database is asked. What asks a database in
a way of its own stays on both: searches, lists page by page, counts, two people at the same time, what pages cost.
"""

from typing import Any

BOTH = ("sqlite", "postgresql")
# Beginnings of paths below tests/, with the name of a test where not the whole file is meant.
SQLITE_ALONE = (
    "api/test_crms.py::test_a_wrong_field_of_a_crm_is_named",
    "api/test_devices.py::test_a_wrong_field_of_a_device_is_named",
    "api/test_devices.py::test_what_is_no_limit_is_refused_and_changes_nothing",
    "api/test_documentation.py",
    "api/test_idempotency.py::test_a_key_that_is_none_is_refused",
    "api/test_manners.py",
    "api/test_numbers.py::test_a_number_that_is_no_text_is_refused_with_the_way_to_write_it",
    "api/test_opt_outs.py::test_what_is_no_number_cannot_opt_out",
    "api/test_opt_outs.py::test_words_that_cannot_work_are_refused",
    "api/test_reading.py::test_a_cursor_that_is_none_is_refused",
    "api/test_reading.py::test_a_number_filter_that_names_nobody_is_an_error",
    "api/test_reading.py::test_a_wrong_filter_is_named",
    "api/test_reading_as_operator.py::test_an_operator_who_writes_as_a_crm_is_told_which_key_is_needed",
    "api/test_sending.py::test_a_wrong_field_is_named",
    "api/test_webhooks.py::test_a_wrong_field_of_an_endpoint_is_named",
    "browser/",
    "cli/test_messages.py::test_a_file_is_taken_as_spreadsheets_write_it",
    "cli/test_messages.py::test_a_time_without_a_zone_is_taken_with_the_zone_that_was_given",
    "cli/test_messages.py::test_what_is_wrong_in_a_file_is_told",
    "dashboard/",
    "live/test_channel.py::test_data_without_an_action_of_ours_is_passed_over_in_silence",
    "live/test_channel.py::test_what_is_malformed_is_passed_over_in_silence",
    "live/test_hub.py::test_a_message_",
    "live/test_hub.py::test_all_hear_the_farewell_and_lose_the_connection_without_a_close_frame",
    "live/test_hub.py::test_one_who_",
    "live/test_real_client.py",
    "phones/test_wire.py::test_another_encoding_is_415",
    "phones/test_wire.py::test_no_path_is_ever_redirected",
    "phones/test_wire.py::test_other_methods_are_405_with_json",
    "phones/test_wire.py::test_the_path_is_taken_with_and_without_a_slash_and_never_redirected",
    "phones/test_wire.py::test_what_is_no_json_object_is_400",
    "phones/test_wire.py::test_wrong_credentials_are_401_with_json_and_a_challenge",
)
ON_BOTH_ALL_THE_SAME = (
    "api/test_manners.py::test_broken_utf8_in_a_query_finds_nothing",
    "api/test_manners.py::test_nul_in_a_query_is_a_bad_request",
    "api/test_manners.py::test_text_that_no_database_keeps_is_refused_wherever_it_stands",
    "dashboard/test_bulk.py::test_of_1000_rows",
    "dashboard/test_bulk.py::test_what_was_interrupted_goes_on_where_it_stopped",
    "dashboard/test_conversations.py::test_a_conversation_goes_on_page_by_page",
    "dashboard/test_conversations.py::test_a_list_goes_on_page_by_page_to_the_oldest",
    "dashboard/test_conversations.py::test_a_number_is_found_however_it_is_written",
    "dashboard/test_conversations.py::test_each_number_stands_once_with_its_newest_message_first",
    "dashboard/test_conversations.py::test_news_come_once_and_bring_what_is_new_and_delivered",
    "dashboard/test_conversations.py::test_the_newest_of_a_number_with_very_many_messages_are_found",
    "dashboard/test_conversations.py::test_what_came_in_is_new_until_somebody_who_may_answer_opens_it",
    "dashboard/test_crms.py::test_of_two_people",
    "dashboard/test_devices.py::test_of_two_people",
    "dashboard/test_hourly_counts.py",
    "dashboard/test_limits.py::test_the_page_shows_how_full_each_limit_is",
    "dashboard/test_limits.py::test_the_second_of_two",
    "dashboard/test_messages.py::test_a_list_has_a_second_page_with_the_rest",
    "dashboard/test_messages.py::test_a_search_ends_after_a_part_of_the_history",
    "dashboard/test_messages.py::test_messages_are_found_by_all_that_the_form_asks",
    "dashboard/test_messages.py::test_the_counts_of_each_status_are_links",
    "dashboard/test_opt_outs.py::test_numbers_are_found_by_number_and_by_crm",
    "dashboard/test_opt_outs.py::test_the_list_goes_on_page_by_page",
    "dashboard/test_passwords.py::test_codes_are_asked_for_once_they_are_set_up_and_each_is_taken_once",
    "dashboard/test_site.py::test_without_the_database_a_page_says_so",
    "dashboard/test_webhooks.py::test_the_deliveries_are_listed_page_by_page_and_by_status",
)
# What reads the plans of statements is for both, wherever it stands.
_READS_PLANS = "check_cheap"


def databases_of(node_id: str, function: Any) -> tuple[str, ...]:
    """The kinds of database that this test runs on."""
    name = node_id.removeprefix("tests/")
    is_on_both = name.startswith(ON_BOTH_ALL_THE_SAME) or not name.startswith(SQLITE_ALONE)
    return BOTH if is_on_both or _READS_PLANS in function.__code__.co_names else BOTH[:1]
