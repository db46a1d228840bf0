"""What people read on what they may do; the audit's lines are records, and stay where they are written."""

# Why a role is not a higher one
LOGIN_FIRST = "Log in to see the runs of this server."
EXPIRED = "Your login has expired: log in again."
LOOK_ONLY = "You may look, use models and download; only operators may start, stop, import or change anything."
NOT_SHARED = (
    "Read-only: this server can be reached from other machines, or was reached under a name other than localhost, and "
    "has no login. Set up a login, or set FASHION_ACCESS=everyone to let everyone who reaches it do everything; see "
    '"Share it" in the README.'
)
NO_NAME = "no name"
NO_ACCESS = "You are logged in as {name}, who has no access to this server: ask its owner to add you."
NOT_ALLOWED = "You are not allowed to do that. {why}"

# Wrong settings
WRONG_SECTION = "[access] in the secrets should hold operators = […] and viewers = […] and nothing else."
WRONG_LIST = '{name} of [access] in the secrets should be a list such as ["anna@example.org"].'
WRONG_ACCESS = "FASHION_ACCESS should be everyone or not set, not {value!r}."
WRONG_HOSTS = (
    "FASHION_HOSTS should be names such as dash.example.org or dash.example.org:8443, separated by commas, "
    "not {value!r}."
)

# Labels that can't be written
LONG_NAME = "A name has at most {most} characters, not {length}: shorten it."
LABELS_CHANGED = (
    "Somebody else has changed the name, tags or notes; the name is now {name}. Save again to replace their changes "
    "with yours."
)
