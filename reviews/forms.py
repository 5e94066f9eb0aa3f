from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django import forms

from jobs.calls import Verdict
from jobs.models import User
from reviews.actions import NEEDS_NOTE, Ask
from reviews.models import REASONS, ReasonCode, Ruling

_LABELS = {
    Ruling.REQUEST_CHANGES: "What should change?",
    Ruling.REFUSE: "Why is it refused?",
    Ruling.REJECT: "Why is it rejected?",
    Ruling.ESCALATE: "What should they decide?",
    Ruling.REASSIGN: "Why them?",
    Ruling.REOPEN: "Why is it reviewed again?",
    Ruling.RETRY: "Why is it tried again?",
    Ruling.CANCEL: "Why is it canceled?",
    Ruling.SETTLE: "What did you find?",
}
_READERS = {
    Ruling.REQUEST_CHANGES: "The model and the requester read this.",
    Ruling.REFUSE: "The model and the requester read this.",
    Ruling.REJECT: "The requester reads this.",
}


class RulingForm(forms.Form):
    """What comes with a ruling. `content_hash` is what was looked at, and `level` where its review
    stood; `next` is where to go on."""

    content_hash = forms.CharField(required=False, widget=forms.HiddenInput)
    next = forms.CharField(required=False, widget=forms.HiddenInput)
    seconds = forms.Field(required=False, widget=forms.HiddenInput)
    level = forms.Field(required=False, widget=forms.HiddenInput)
    reason = forms.ChoiceField(
        required=False,
        label="Reason",
        error_messages={
            "invalid_choice": "That is a reason for something else. Choose another one."
        },
    )
    note = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 4}))

    def __init__(self, ruling: Ruling, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ruling = ruling
        note = self.fields["note"]
        note.label = _LABELS.get(ruling, "Note")
        note.help_text = _READERS.get(ruling, "It stays in the job's history.")
        # The rule is the domain's; this is only how the field says it.
        note.widget.attrs["required"] = self.needs_note
        # Where only words are missing, they can be written at once.
        if self.needs_note and not str(self.data.get("note", "")).strip():
            note.widget.attrs["autofocus"] = True
        if not (codes := REASONS.get(ruling)):
            del self.fields["reason"]
        elif isinstance(reason := self.fields["reason"], forms.ChoiceField):
            reason.choices = [("", "No reason chosen"), *((c.value, c.label) for c in codes)]

    @property
    def asked(self) -> list[forms.BoundField]:
        """The fields that a person fills in."""
        return [field for field in self.visible_fields() if field.name != "note"] + [self["note"]]

    @property
    def needs_note(self) -> bool:
        return self.ruling in NEEDS_NOTE

    def ask(
        self,
        actor: User,
        now: datetime,
        verdicts: Mapping[int, Verdict] | None = None,
        edit: str | None = None,
    ) -> Ask:
        said = self.cleaned_data
        return Ask(
            self.ruling,
            actor,
            now,
            note=said["note"],
            content_hash=said["content_hash"],
            response_id=said.get("response_id") or None,
            assignee=said.get("assignee", ""),
            verdicts=verdicts or {},
            reason_code=said.get("reason", ""),
            edit=edit,
            seconds=whole(said["seconds"] or ""),
            level=whole(said["level"] or ""),
        )


class SettleForm(RulingForm):
    """Either the id of the response that OpenAI started, or none."""

    response_id = forms.CharField(
        required=False,
        label="Response id",
        help_text="As in OpenAI's log, such as resp_68a1f0. Empty: there is none, and the job fails.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )


class ReassignForm(RulingForm):
    """Whom the review waits for. What may be chosen is an offer: the rule is the domain's, and names
    those who may where somebody else was meant."""

    assignee = forms.CharField(required=False, label="Waits for", widget=forms.Select)

    def offer(self, people: Iterable[User], me: User, now_waits_for: User | None) -> None:
        """Offer these people, oneself first."""
        names = [person.get_username() for person in people]
        mine = me.get_username()
        choices = [(mine, f"{mine} (you)")] if mine in names else []
        choices += [(name, name) for name in names if name != mine]
        field = self.fields["assignee"]
        field.widget.choices = [("", "Nobody in particular"), *choices]
        if not choices:
            field.help_text = "There is nobody who may decide this review at its level."
        # Whoever opens this wants a change: where nobody was asked, to take it themselves.
        field.initial = "" if now_waits_for == me or mine not in names else mine
        if self.is_bound and "assignee" not in self.data:
            # The review page leads here with what was typed there.
            self.data = {**dict(self.data.items()), "assignee": field.initial}


class NoteForm(forms.Form):
    text = forms.CharField(
        required=False,
        label="Add a note",
        widget=forms.Textarea(attrs={"rows": 2, "required": True}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # It comes back without words alone: they can be written at once.
        self.fields["text"].widget.attrs["autofocus"] = self.is_bound


def reason_groups(rulings: Iterable[Ruling]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The reasons of several rulings, for one field: by what they are reasons for."""
    groups: dict[tuple[ReasonCode, ...], list[str]] = {}
    for ruling in rulings:
        if codes := REASONS.get(ruling):
            groups.setdefault(codes, []).append(ruling.label)
    return [
        (" · ".join(names), [(code.value, code.label) for code in codes])
        for codes, names in groups.items()
    ]


def whole(text: str) -> int | None:
    """A number that a page sends along; None for anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else None


def ruling_form(ruling: Ruling, *args: Any, **kwargs: Any) -> RulingForm:
    kinds = {Ruling.SETTLE: SettleForm, Ruling.REASSIGN: ReassignForm}
    return kinds.get(ruling, RulingForm)(ruling, *args, **kwargs)
