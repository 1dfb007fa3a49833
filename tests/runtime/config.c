#include "ops/runtime/config.h"

#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>

#include "tests/runtime/captured.h"
#include "tests/suite.h"

static const struct setting gateway[] = {
    { "gateway.deadline_ms", SETTING_INT, .def = "5000", .min = 100, .max = 60000, .unit = "ms", .doc = "Deadline." },
    { "gateway.trust_proxy", SETTING_BOOL, .def = "false", .doc = "Proxy." },
    { "gateway.mode", SETTING_CHOICE, .def = "fast", .choices = "fast|safe", .doc = "Mode." },
    { "gateway.name", SETTING_TEXT, .def = "aether", .min = 2, .max = 8, .doc = "Name." },
    { .name = NULL },
};

static const struct setting auth[] = {
    { "auth.jwt_secret", SETTING_SECRET, .def = "0123456789", .min = 8, .max = 16, .doc = "Key." },
    { "kafka.bootstrap.servers", SETTING_TEXT, .def = "127.0.0.1:9092", .min = 1, .doc = "Brokers." },
    { .name = NULL },
};

static const struct setting required[] = {
    { "postgres.dsn", SETTING_SECRET, .def = NULL, .min = 1, .doc = "Database." },
    { .name = NULL },
};

static const struct setting *const tables[] = { gateway, auth, NULL };
static const struct setting *const with_required[] = { gateway, auth, required, NULL };

#define ARGS_MAX 16

static char *argv[ARGS_MAX];
static int argc;
static struct config *config;

/* The tests' own environment (ops/test) has settings of the system under test. */
static void setup(void)
{
    for (char **at = environ; at && *at;) {
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(*at, "="), *at);
        if (strncmp(name, "AETHER_", 7) == 0) {
            unsetenv(name);
            at = environ;
        } else {
            at++;
        }
    }
}

static void teardown(void)
{
    config_destroy(config);
}

static err load_from(const struct setting *const *from, const char *first, ...)
{
    va_list args;
    va_start(args, first);
    argc = 0;
    argv[argc++] = (char *)(uintptr_t) "program"; /* config_load only moves them */
    for (const char *arg = first; arg; arg = va_arg(args, const char *))
        argv[argc++] = (char *)(uintptr_t)arg;
    argv[argc] = NULL;
    va_end(args);
    config_destroy(config);
    config = NULL;
    return config_load("program", "Does things.", from, &argc, argv, &config);
}

#define load(...) load_from(tables, ##__VA_ARGS__, (const char *)NULL)

static void ck_fatal(err e, const char *expected)
{
    ck_assert_int_eq(e, FATAL);
    ck_assert_str_eq(err_message(), expected);
    ck_assert_ptr_null(strchr(err_message(), '\n'));
}

/* A file that is gone with the test's process. */
static const char *file_with(const char *text)
{
    static char path[64];
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fflush(file);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fileno(file));
    return path;
}

START_TEST(what_is_not_given_has_its_default)
{
    ck_assert_int_eq(load(), OK);
    ck_assert_int_eq(config_int(config, "gateway.deadline_ms"), 5000);
    ck_assert(!config_bool(config, "gateway.trust_proxy"));
    ck_assert_str_eq(config_text(config, "gateway.mode"), "fast");
    ck_assert_str_eq(config_text(config, "kafka.bootstrap.servers"), "127.0.0.1:9092");
}
END_TEST

START_TEST(an_argument_goes_before_the_environment_and_that_before_the_file)
{
    const char *path = file_with("gateway.deadline_ms = 300\n gateway.mode=safe \n# gateway.name = no\n\n"
                                 "gateway.name\t=\tfile\r\n");
    setenv("AETHER_GATEWAY_DEADLINE_MS", "200", 1);
    setenv("AETHER_GATEWAY_MODE", "fast", 1);
    ck_assert_int_eq(load("--set", "gateway.deadline_ms=100", "--config", path), OK);
    ck_assert_int_eq(config_int(config, "gateway.deadline_ms"), 100);
    ck_assert_str_eq(config_text(config, "gateway.mode"), "fast");
    ck_assert_str_eq(config_text(config, "gateway.name"), "file");
}
END_TEST

START_TEST(the_last_set_of_a_name_counts)
{
    ck_assert_int_eq(load("--set=gateway.name=one", "--set", "gateway.name=two=2"), OK);
    ck_assert_str_eq(config_text(config, "gateway.name"), "two=2");
}
END_TEST

START_TEST(what_is_no_option_of_ours_stays_for_the_program)
{
    ck_assert_int_eq(load("apply", "--set", "gateway.name=xx", "-v", "--", "--set", "--help"), OK);
    ck_assert_int_eq(argc, 5);
    static const char *const left[] = { "program", "apply", "-v", "--set", "--help" };
    for (int i = 0; i < argc; i++)
        ck_assert_str_eq(argv[i], left[i]);
    ck_assert_ptr_null(argv[argc]);
}
END_TEST

START_TEST(a_wrong_value_is_named_with_its_source_and_what_is_allowed)
{
    ck_fatal(load("--set", "gateway.deadline_ms=99"),
             "gateway.deadline_ms = '99' (from --set) is wrong; allowed: 100 to 60000 ms");
    ck_fatal(load("--set", "gateway.deadline_ms=60001"),
             "gateway.deadline_ms = '60001' (from --set) is wrong; allowed: 100 to 60000 ms");
    static const char *const no_numbers[] = { "", "abc", "100x", "1e3", " 100", "0x100", "99999999999999999999", "-" };
    for (size_t i = 0; i < sizeof no_numbers / sizeof *no_numbers; i++) {
        setenv("AETHER_GATEWAY_DEADLINE_MS", no_numbers[i], 1);
        char expected[256];
        snprintf(expected, sizeof expected,
                 "gateway.deadline_ms = '%s' (from AETHER_GATEWAY_DEADLINE_MS) is wrong; allowed: 100 to 60000 ms",
                 no_numbers[i]);
        ck_fatal(load(), expected);
    }
    unsetenv("AETHER_GATEWAY_DEADLINE_MS");
    ck_fatal(load("--set", "gateway.mode=fas"), "gateway.mode = 'fas' (from --set) is wrong; allowed: fast|safe");
    ck_fatal(load("--set", "gateway.mode="), "gateway.mode = '' (from --set) is wrong; allowed: fast|safe");
    ck_fatal(load("--set", "gateway.trust_proxy=maybe"),
             "gateway.trust_proxy = 'maybe' (from --set) is wrong; allowed: true|false");
    ck_fatal(load("--set", "gateway.name=x"), "gateway.name = 'x' (from --set) is wrong; allowed: text, 2 to 8 bytes");
    ck_fatal(load("--set", "gateway.name=123456789"),
             "gateway.name = '123456789' (from --set) is wrong; allowed: text, 2 to 8 bytes");
    const char *path = file_with("\ngateway.mode = slow\n");
    char expected[256];
    snprintf(expected, sizeof expected, "gateway.mode = 'slow' (from %s:2) is wrong; allowed: fast|safe", path);
    ck_fatal(load("--config", path), expected);
}
END_TEST

START_TEST(the_bounds_of_a_number_and_of_a_text_are_allowed)
{
    ck_ok(load("--set", "gateway.deadline_ms=100", "--set", "gateway.name=12", "--set", "auth.jwt_secret=12345678"));
    ck_assert_int_eq(config_int(config, "gateway.deadline_ms"), 100);
    ck_ok(load("--set", "gateway.deadline_ms=60000", "--set", "gateway.name=12345678", "--set",
               "auth.jwt_secret=1234567890123456"));
    ck_assert_int_eq(config_int(config, "gateway.deadline_ms"), 60000);
}
END_TEST

START_TEST(a_secret_is_never_in_a_message)
{
    ck_fatal(load("--set", "auth.jwt_secret=hunter2"),
             "auth.jwt_secret (from --set) is wrong, it has 7 bytes; allowed: secret text, 8 to 16 bytes");
}
END_TEST

START_TEST(yes_and_no_have_many_names)
{
    static const char *const yes[] = { "true", "yes", "on", "1", "TRUE" };
    static const char *const no[] = { "false", "no", "off", "0", "No" };
    for (size_t i = 0; i < 5; i++) {
        setenv("AETHER_GATEWAY_TRUST_PROXY", yes[i], 1);
        ck_assert_int_eq(load(), OK);
        ck_assert(config_bool(config, "gateway.trust_proxy"));
        setenv("AETHER_GATEWAY_TRUST_PROXY", no[i], 1);
        ck_assert_int_eq(load(), OK);
        ck_assert(!config_bool(config, "gateway.trust_proxy"));
    }
}
END_TEST

START_TEST(what_must_be_given_is_asked_for)
{
    ck_fatal(load_from(with_required, NULL), "postgres.dsn is not set: give it with AETHER_POSTGRES_DSN or --set "
                                             "postgres.dsn=…; allowed: secret text, not empty");
    ck_assert_int_eq(load_from(with_required, "--set", "postgres.dsn=host=x", NULL), OK);
    ck_assert_str_eq(config_text(config, "postgres.dsn"), "host=x");
}
END_TEST

START_TEST(a_wrong_name_suggests_the_right_one)
{
    ck_fatal(load("--set", "gateway.dedline_ms=5"), "no setting is called 'gateway.dedline_ms' (from --set); did you "
                                                    "mean gateway.deadline_ms? --help lists them all");
    setenv("AETHER_GATEWAY_DEADLINE", "200", 1);
    ck_fatal(load(), "no setting has the variable AETHER_GATEWAY_DEADLINE; did you mean AETHER_GATEWAY_DEADLINE_MS? "
                     "--help lists them all");
}
END_TEST

START_TEST(a_setting_of_another_program_is_no_error)
{
    setenv("AETHER_WORKER_BATCH_RECORDS", "5", 1);
    setenv("AETHER_POSTGRES_DSN", "x", 1);
    setenv("AETHER_TEST_POSTGRES_DSN", "x", 1);
    ck_assert_int_eq(load("--config", file_with("worker.batch_records = 7\n")), OK);
}
END_TEST

START_TEST(an_area_that_nobody_has_is_an_error)
{
    setenv("AETHER_GATWAY_MODE", "fast", 1);
    ck_fatal(load(), "no setting has the variable AETHER_GATWAY_MODE; did you mean AETHER_GATEWAY_MODE? --help lists "
                     "them all");
}
END_TEST

START_TEST(on_the_command_line_another_programs_name_is_an_error)
{
    ck_assert_int_eq(load("--set", "worker.batch_records=7"), FATAL);
}
END_TEST

static void keep_property(void *context, const char *property, const char *value)
{
    buf_printf(context, "%s=%s;", property, value);
}

START_TEST(any_kafka_property_passes_through_once)
{
    setenv("AETHER_KAFKA_BOOTSTRAP_SERVERS", "kafka:9092", 1);
    setenv("AETHER_KAFKA_SECURITY_PROTOCOL", "SASL_SSL", 1);
    const char *path = file_with("kafka.security.protocol = PLAINTEXT\nkafka.linger.ms = 3\n");
    ck_assert_int_eq(load("--set", "kafka.linger.ms=5", "--config", path), OK);
    struct buf text = { 0 };
    config_each_kafka(config, keep_property, &text);
    buf_char(&text, '\0');
    ck_assert_str_eq(text.ptr, "linger.ms=5;security.protocol=SASL_SSL;");
    ck_assert_str_eq(config_text(config, "kafka.bootstrap.servers"), "kafka:9092");
    buf_finish(&text);
}
END_TEST

START_TEST(a_file_that_is_wrong_says_where)
{
    ck_fatal(load("--config", "/nowhere/aether.conf"),
             "the configuration file /nowhere/aether.conf cannot be read: No such file or directory");
    const char *path = file_with("gateway.mode fast\n");
    char expected[256];
    snprintf(expected, sizeof expected, "%s:1: a line is 'name = value' or a # comment", path);
    ck_fatal(load("--config", path), expected);
    ck_fatal(load("--config"), "--config needs a value");
    ck_fatal(load("--set", "gateway.mode"), "--set 'gateway.mode' is wrong; allowed: --set NAME=VALUE");
}
END_TEST

START_TEST(a_last_line_without_an_end_counts)
{
    ck_assert_int_eq(load("--config", file_with("gateway.name = last")), OK);
    ck_assert_str_eq(config_text(config, "gateway.name"), "last");
}
END_TEST

/* What a child process prints that is given `option`; it must exit with 0. */
static char *printed(const char *option)
{
    struct captured c = capture_begin(STDOUT_FILENO);
    const pid_t child = fork();
    if (child == 0) {
        (void)!load_from(with_required, option, NULL);
        _exit(42); /* config_load should have ended the process */
    }
    int status;
    waitpid(child, &status, 0);
    char *text = capture_end(&c);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
    return text;
}

/* Where `part` begins in its line. */
static size_t column_of(const char *text, const char *part)
{
    const char *at = strstr(text, part), *line = at;
    ck_assert_msg(at != NULL, "'%s' is missing in:\n%s", part, text);
    while (line > text && line[-1] != '\n')
        line--;
    return (size_t)(at - line);
}

START_TEST(help_is_a_table_of_all_settings)
{
    char *text = printed("--help");
    ck_assert_ptr_nonnull(strstr(text, "program - Does things.\n"));
    static const char *const columns[][3] = {
        { "setting", "gateway.deadline_ms", "postgres.dsn" },
        { "environment variable", "AETHER_GATEWAY_DEADLINE_MS", "AETHER_POSTGRES_DSN" },
        { "default  ", "5000", "(must be set)" },
        { "allowed  ", "100 to 60000 ms", "secret text, not empty" },
        { "what it is", "Deadline.", "Database." },
    };
    const char *table = strstr(text, "\nsetting") + 1;
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        for (size_t k = 1; k < 3; k++)
            ck_assert_uint_eq(column_of(table, columns[i][k]), column_of(table, columns[i][0]));
    free(text);
}
END_TEST

START_TEST(help_can_be_markdown)
{
    char *text = printed("--help=markdown");
    ck_assert_ptr_nonnull(strstr(text, "\n| gateway.mode | AETHER_GATEWAY_MODE | fast | fast\\|safe | Mode. |\n"));
    free(text);
}
END_TEST

START_TEST(the_version_is_printed)
{
    char *text = printed("--version");
    ck_assert_int_eq(strncmp(text, "program ", 8), 0);
    free(text);
}
END_TEST

START_TEST(checking_ends_the_program_when_the_settings_are_right_and_says_what_is_wrong)
{
    const pid_t child = fork();
    if (child == 0) {
        (void)!load("--check");
        _exit(42); /* config_load should have ended the process */
    }
    int status;
    waitpid(child, &status, 0);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
    ck_fatal(load("--check", "--set", "gateway.deadline_ms=soon"),
             "gateway.deadline_ms = 'soon' (from --set) is wrong; allowed: 100 to 60000 ms");
}
END_TEST

START_TEST(to_ask_for_a_setting_that_is_in_no_table_ends_the_program)
{
    ck_assert_int_eq(load(), OK);
    config_int(config, "gateway.nothing");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config");
    TCase *t = suite_case("config");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, what_is_not_given_has_its_default);
    tcase_add_test(t, an_argument_goes_before_the_environment_and_that_before_the_file);
    tcase_add_test(t, the_last_set_of_a_name_counts);
    tcase_add_test(t, what_is_no_option_of_ours_stays_for_the_program);
    tcase_add_test(t, a_wrong_value_is_named_with_its_source_and_what_is_allowed);
    tcase_add_test(t, the_bounds_of_a_number_and_of_a_text_are_allowed);
    tcase_add_test(t, a_secret_is_never_in_a_message);
    tcase_add_test(t, yes_and_no_have_many_names);
    tcase_add_test(t, what_must_be_given_is_asked_for);
    tcase_add_test(t, a_wrong_name_suggests_the_right_one);
    tcase_add_test(t, a_setting_of_another_program_is_no_error);
    tcase_add_test(t, an_area_that_nobody_has_is_an_error);
    tcase_add_test(t, on_the_command_line_another_programs_name_is_an_error);
    tcase_add_test(t, any_kafka_property_passes_through_once);
    tcase_add_test(t, a_file_that_is_wrong_says_where);
    tcase_add_test(t, a_last_line_without_an_end_counts);
    tcase_add_test(t, help_is_a_table_of_all_settings);
    tcase_add_test(t, help_can_be_markdown);
    tcase_add_test(t, the_version_is_printed);
    tcase_add_test(t, checking_ends_the_program_when_the_settings_are_right_and_says_what_is_wrong);
    tcase_add_test_raise_signal(t, to_ask_for_a_setting_that_is_in_no_table_ends_the_program, SIGABRT);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
