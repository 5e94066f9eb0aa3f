from datetime import datetime
from typing import Any

from django import forms

from jobs.models import User
from reviews.actions import NEEDS_NOTE, Ask
from reviews.models import Ruling

_LABELS = {
    Ruling.REQUEST_CHANGES: "What should change?",
    Ruling.REJECT: "Why is it rejected?",
    Ruling.ESCALATE: "What should a lead decide?",
    Ruling.REOPEN: "Why is it reviewed again?",
    Ruling.RETRY: "Why is it tried again?",
    Ruling.CANCEL: "Why is it canceled?",
    Ruling.SETTLE: "What did you find?",
}
_READERS = {
    Ruling.REQUEST_CHANGES: "The model and the requester read this.",
    Ruling.REJECT: "The requester reads this.",
}


class RulingForm(forms.Form):
    """What comes with a ruling. `content_hash` is what was looked at; `next` is where to go on."""

    content_hash = forms.CharField(required=False, widget=forms.HiddenInput)
    next = forms.CharField(required=False, widget=forms.HiddenInput)
    note = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 4}))

    def __init__(self, ruling: Ruling, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ruling = ruling
        note = self.fields["note"]
        note.label = _LABELS.get(ruling, "Note")
        note.help_text = _READERS.get(ruling, "It stays in the job's history.")
        # The rule is the domain's; this is only how the field says it.
        note.widget.attrs["required"] = self.needs_note

    @property
    def asked(self) -> list[forms.BoundField]:
        """The fields that a person fills in."""
        return [field for field in self.visible_fields() if field.name != "note"] + [self["note"]]

    @property
    def needs_note(self) -> bool:
        return self.ruling in NEEDS_NOTE

    def ask(self, actor: User, now: datetime) -> Ask:
        said = self.cleaned_data
        return Ask(
            self.ruling,
            actor,
            now,
            note=said["note"],
            content_hash=said["content_hash"],
            response_id=said.get("response_id") or None,
        )


class SettleForm(RulingForm):
    """Either the id of the response that OpenAI started, or none."""

    response_id = forms.CharField(
        required=False,
        label="Response id",
        help_text="As in OpenAI's log, such as resp_68a1f0. Empty: there is none, and the job fails.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )


class NoteForm(forms.Form):
    text = forms.CharField(
        required=False,
        label="Add a note",
        widget=forms.Textarea(attrs={"rows": 2, "required": True}),
    )


def ruling_form(ruling: Ruling, *args: Any, **kwargs: Any) -> RulingForm:
    kind = SettleForm if ruling is Ruling.SETTLE else RulingForm
    return kind(ruling, *args, **kwargs)
