"""What an inbox's address asks for: read, judged, and written again."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.validators import RegexValidator
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import QueryDict
from django.utils.http import urlencode

from jobs.models import Gate, GateKind, Job, JobType, Membership, User, Workspace
from jobs.text import clean
from reviews.inbox import Sort, Tab, Wanted
from reviews.models import Decision, Ruling

#: What a field of the filters is called in an address. Anything else there asks for nothing.
FILTERS = (
    "q", "type", "kind", "level", "warnings", "requester", "assignee", "reason", "cost", "whose",
    "sort", "person", "ruling",
)  # fmt: skip
#: People that are offered by name.
MOST_NAMED = 200
NOBODY = "nobody"
_LONG_NAME = {"max_length": "A name has 150 characters at most."}
_NO_REASON = "A reason is a code such as “warnings”."


class FilterForm(forms.Form):
    """An empty field asks for nothing. What cannot be read is said, and nothing else is lost."""

    tab = forms.ChoiceField(
        required=False,
        choices=Tab.choices,
        error_messages={"invalid_choice": "There is no tab “%(value)s” here."},
    )
    q = forms.CharField(
        label="Search",
        required=False,
        max_length=200,
        error_messages={
            "max_length": "A search can have 200 characters at most; this one has %(show_value)d."
        },
        widget=forms.TextInput(attrs={"type": "search", "placeholder": "Reference or title"}),
    )
    type = forms.ChoiceField(
        required=False, error_messages={"invalid_choice": "There is no job type “%(value)s” here."}
    )
    whose = forms.ChoiceField(
        label="Waits for",
        required=False,
        choices=[("you", "You"), ("all", "Anybody")],
        error_messages={"invalid_choice": "Reviews wait for “you” or for “all”, not “%(value)s”."},
    )
    sort = forms.ChoiceField(
        label="Order",
        required=False,
        choices=Sort.choices,
        error_messages={"invalid_choice": "There is no order “%(value)s”."},
    )
    kind = forms.ChoiceField(
        label="What",
        required=False,
        choices=[("", "Anything"), *GateKind.choices],
        error_messages={"invalid_choice": "Nothing that waits is of the kind “%(value)s”."},
    )
    level = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=99,
        error_messages={
            "invalid": "A level is a number, such as 2.",
            "min_value": "Levels begin at 1.",
            "max_value": "There is no level above 99.",
        },
        widget=forms.TextInput(attrs={"inputmode": "numeric"}),
    )
    warnings = forms.ChoiceField(
        required=False,
        choices=[("", "With or without"), ("yes", "With warnings"), ("no", "Without warnings")],
        error_messages={"invalid_choice": "Warnings are “yes” or “no”, not “%(value)s”."},
    )
    requester = forms.CharField(
        label="From", required=False, max_length=150, error_messages=_LONG_NAME
    )
    assignee = forms.CharField(
        label="Assigned to", required=False, max_length=150, error_messages=_LONG_NAME
    )
    reason = forms.CharField(
        required=False,
        validators=[RegexValidator(r"^[a-z0-9_]{1,60}\Z", _NO_REASON)],
    )
    cost = forms.DecimalField(
        label="Cost over $",
        required=False,
        min_value=0,
        max_digits=10,
        decimal_places=4,
        error_messages={
            "invalid": "A cost is a number of dollars, such as 2.50.",
            "min_value": "A cost is 0 or more.",
            "max_digits": "That is more than any job costs.",
            "max_decimal_places": "A cost has 4 decimal places at most.",
            "max_whole_digits": "That is more than any job costs.",
        },
        widget=forms.TextInput(attrs={"inputmode": "decimal"}),
    )
    person = forms.CharField(
        label="Decided by", required=False, max_length=150, error_messages=_LONG_NAME
    )
    ruling = forms.ChoiceField(
        label="Decision",
        required=False,
        choices=[("", "Any"), *Ruling.choices],
        error_messages={"invalid_choice": "There is no decision “%(value)s”."},
    )

    def __init__(self, data: QueryDict, *, workspace: Workspace, reasons: Any = ()) -> None:
        cleaned = {name: clean(value) for name, value in data.items()}
        super().__init__(cleaned, auto_id="filter-%s", label_suffix="")
        types = JobType.objects.filter(Q(workspace=None) | Q(workspace=workspace))
        named = dict(types.order_by("-name").values_list("slug", "name"))
        self._choose("type", [("", "All types"), *reversed(named.items())])
        people = Membership.objects.filter(workspace=workspace).values("user")
        self._known = User.objects.filter(pk__in=people)
        # Whoever has left the workspace is found by what is still there of them.
        who, here = OuterRef("pk"), {"workspace": workspace}
        self._left: dict[str, QuerySet[Any]] = {
            "requester": Job.objects.filter(requester=who, **here).order_by(),
            "assignee": Gate.objects.filter(assignee=who, closed_at=None, **here).order_by(),
            "person": Decision.objects.filter(actor=who, **here).order_by(),
        }
        for name in ("requester", "assignee", "person"):
            self.fields[name].widget.attrs |= {"list": "people", "autocomplete": "off"}
        self.fields["reason"].widget.attrs |= {"list": "reasons", "autocomplete": "off"}
        self.reasons = reasons

    @property
    def people(self) -> list[str]:
        """Who may be named."""
        known = self._known.order_by("username").values_list("username", flat=True)
        return list(known[:MOST_NAMED])

    @property
    def often(self) -> list[forms.BoundField]:
        """The fields that are asked for most."""
        names = {Tab.HISTORY: ("person", "ruling"), Tab.WAITING: ("whose", "type", "sort")}
        return [self[name] for name in names.get(self.on, ("type", "sort"))]

    @property
    def more(self) -> list[forms.BoundField]:
        if self.on is Tab.HISTORY:
            return []
        names = ("kind", "warnings", "level", "requester", "assignee", "reason", "cost")
        return [self[name] for name in names]

    @property
    def opens_more(self) -> bool:
        return any(field.value() for field in self.more)

    @property
    def on(self) -> Tab:
        """The tab, or the first one where there is no such."""
        asked = self.data.get("tab", "")
        return Tab(asked) if asked in Tab.values else Tab.WAITING

    def clean_requester(self) -> User | None:
        return self._person("requester")

    def clean_person(self) -> User | None:
        return self._person("person")

    def clean_assignee(self) -> User | str | None:
        return NOBODY if self.cleaned_data["assignee"] == NOBODY else self._person("assignee")

    def clean_whose(self) -> str:
        """On the tab "Waiting" it is oneself, elsewhere anybody, unless something else is said."""
        fallback = "you" if self.on is Tab.WAITING else "all"
        return self.cleaned_data["whose"] or fallback

    def wanted(self, *, decides: bool, after: str = "") -> Wanted:
        """Of a valid form. Whoever decides nothing sees what waits for anybody."""
        said: Mapping[str, Any] = self.cleaned_data
        assignee = said["assignee"]
        return Wanted(
            everyone=not decides or said["whose"] == "all",
            type_slug=said["type"],
            text=said["q"],
            after=after,
            tab=self.on,
            sort=Sort(said["sort"]),
            kind=GateKind(said["kind"]) if said["kind"] else None,
            level=said["level"],
            warned={"yes": True, "no": False}.get(said["warnings"]),
            requester=said["requester"],
            assignee=assignee if isinstance(assignee, User) else None,
            unassigned=assignee == NOBODY,
            reason=said["reason"],
            cost_over=said["cost"],
        )

    @property
    def query(self) -> str:
        """What it asks for as an address says it: always in the same order, and nothing empty."""
        tab = {"tab": self.on.value} if self.on is not Tab.WAITING else {}
        asked = {name: self.data.get(name, "").strip() for name in FILTERS}
        if asked["whose"] == ("you" if self.on is Tab.WAITING else "all"):
            asked["whose"] = ""
        return urlencode(tab | {name: value for name, value in asked.items() if value})

    def _person(self, name: str) -> User | None:
        username = self.cleaned_data[name].strip()
        if not username:
            return None
        users = User.objects.filter(username=username)
        user = users.filter(Q(pk__in=self._known) | Q(Exists(self._left[name]))).first()
        if user is None:
            raise forms.ValidationError(f"Nobody called “{username}” is in this workspace.")
        return user

    def _choose(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices
