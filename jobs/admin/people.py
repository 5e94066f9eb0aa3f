"""Who there is, and what they may do: accounts, workspaces, roles.

Accounts are for superusers. Whoever configures a workspace gives roles in it to people that they can
name, but never to themselves: the roles that judge are given by somebody else.
"""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest

from jobs import models
from jobs.admin.history import Line, WithHistory, changes_of, logged, may_see, memberships_of
from jobs.admin.lists import Dressed, person
from jobs.text import clean


class PersonField(forms.ModelChoiceField):
    """A person by their exact username or address: who is not known by name is not listed."""

    widget = forms.TextInput

    def __init__(self, **kwargs: Any) -> None:
        people = models.User.objects.filter(is_active=True)
        super().__init__(people, help_text="Their username or e-mail address, in full.", **kwargs)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, int):
            return models.User.objects.filter(pk=value).values_list("username", flat=True).first()
        return value

    def to_python(self, value: Any) -> models.User | None:
        if isinstance(value, int):
            # A row that is stored: what is typed is text.
            return models.User.objects.get(pk=value)
        named = clean(str(value or "").strip())
        if not named:
            return None
        people = models.User.objects.filter(is_active=True)
        found = list(people.filter(Q(username=named) | Q(email__iexact=named))[:2])
        if len(found) != 1:
            raise ValidationError(f"There is no one account of the name {named}.")
        return found[0]

    def has_changed(self, initial: Any, data: Any) -> bool:
        if self.disabled:
            return False
        return str(self.prepare_value(initial) or "") != str(data or "").strip()


class MembershipForm(forms.ModelForm):
    """A role may change hands by being given and taken, never by renaming its holder."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            # Its label is a column's head, which names no field.
            field.widget.attrs["aria-label"] = str(field.label)
        if self.instance.pk:
            for name in {"user", "workspace"} & self.fields.keys():
                self.fields[name].disabled = True


class Memberships(BaseInlineFormSet):
    giver: models.User

    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        if form.instance.pk and "DELETE" in form.fields:
            form.fields["DELETE"].widget.attrs["aria-label"] = f"Delete {form.instance}"

    def clean(self) -> None:
        super().clean()
        if self.giver.is_superuser:
            return
        for form in self.forms:
            user = form.instance.user_id or getattr(form.cleaned_data.get("user"), "pk", None)
            touched = form.has_changed() or form in self.deleted_forms
            if touched and user == self.giver.pk:
                raise ValidationError("Your own roles are given and taken by somebody else.")


class Finder(AutocompleteSelect):
    """Says what is to be chosen: the script's box takes its name from the option that it shows."""

    def build_attrs(self, base_attrs: Any, extra_attrs: Any = None) -> Any:
        attrs = super().build_attrs(base_attrs, extra_attrs)
        # An empty placeholder would be shown in that option's stead.
        del attrs["data-placeholder"]
        return attrs

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        text = f"Which {self.field.verbose_name}?"
        blank = self.create_option(name, "", text, not any(value), 0)
        return [(None, [blank], 0), *super().optgroups(name, value, attr)]


class MembershipInline(admin.TabularInline):
    model = models.Membership
    form = MembershipForm
    formset = Memberships
    template = "admin/room/inline_rows.html"
    extra = 0

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset: Any = super().get_formset(request, obj, **kwargs)
        formset.giver = person(request)
        return formset

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs["widget"] = Finder(db_field, self.admin_site)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class MemberInline(MembershipInline):
    """The members of a workspace."""

    verbose_name, verbose_name_plural = "member", "Members"
    autocomplete_fields = ("user",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("user", "workspace")

    def get_autocomplete_fields(self, request: HttpRequest) -> Any:
        return self.autocomplete_fields if person(request).is_superuser else ()

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "user" and not person(request).is_superuser:
            # Without the wrapper that links to accounts.
            return PersonField()
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_add_permission(request, obj) and configures(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and configures(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and configures(request, obj)


class RoleInline(MembershipInline):
    """The roles of a person, in the workspaces that the reader sees. Superusers change them here."""

    verbose_name, verbose_name_plural = "role", "Roles"
    autocomplete_fields = ("workspace",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).select_related("user", "workspace")
        seen = may_see(request)
        return rows if seen is None else rows.filter(workspace__in=seen)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return person(request).is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return person(request).is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return person(request).is_superuser


def configures(request: HttpRequest, workspace: Any) -> bool:
    """Whether this person may change the members of `workspace`; None is one that is being made."""
    user = person(request)
    if workspace is None:
        return user.is_superuser
    return models.Workspace.objects.configured_by(user).filter(pk=workspace.pk).exists()


@admin.register(models.Workspace)
class WorkspaceAdmin(WithHistory):
    list_display = ("name", "slug", "created_at")
    ordering = ("name",)
    fields = ("name", "slug")
    search_fields = ("name", "slug")
    inlines = (MemberInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        seen = may_see(request)
        rows = super().get_queryset(request)
        return rows if seen is None else rows.filter(pk__in=seen)

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return {} if obj else {"slug": ("name",)}

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """The slug is in everybody's links."""
        return () if person(request).is_superuser else ("slug",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return person(request).is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if not super().has_change_permission(request, obj):
            return False
        return obj is None or configures(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return person(request).is_superuser

    def history_lines(self, request: HttpRequest, row: Any) -> Iterable[Line]:
        return [*changes_of(row), *memberships_of(row)]


class AddressTaken:
    """Password reset goes by the address: it belongs to one account."""

    instance: models.User
    cleaned_data: dict[str, Any]

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"]
        others = models.User.objects.exclude(pk=self.instance.pk)
        if email and others.filter(email__iexact=email).exists():
            raise ValidationError("Another account has this address.")
        return email


class NewPersonForm(AddressTaken, AdminUserCreationForm):
    email = forms.EmailField(help_text="A forgotten password is reset by a mail to it.")

    class Meta(AdminUserCreationForm.Meta):
        model = models.User
        fields = ("username", "email")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # What the browser knows is about whoever makes the account.
        for name in self.fields.keys() & {"email", "first_name", "last_name"}:
            self.fields[name].widget.attrs["autocomplete"] = "off"
        # The admin's own script does that.
        self.fields["username"].widget.attrs.pop("autofocus", None)


class PersonForm(AddressTaken, UserChangeForm):
    pass


@admin.register(models.User)
class PersonAdmin(UserAdmin, WithHistory, Dressed):
    form = PersonForm
    add_form = NewPersonForm
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("username", "email", "first_name", "last_name"),
            },
        ),
        ("Password", {"fields": ("usable_password", "password1", "password2")}),
    )
    list_display = ("username", "email", "first_name", "last_name", "is_active", "is_staff")
    inlines = (RoleInline,)
    readonly_fields = ("last_login", "date_joined")
    # As in jobs.admin.closed.
    filter_horizontal = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """People of the workspaces that one sees, and oneself."""
        seen = may_see(request)
        people = super().get_queryset(request)
        if seen is None:
            return people
        theirs = models.Membership.objects.filter(workspace__in=seen).values("user")
        return people.filter(Q(pk__in=theirs) | Q(pk=person(request).pk))

    def get_list_filter(self, request: HttpRequest) -> Any:
        if person(request).is_superuser:
            return super().get_list_filter(request)
        return ("is_active",)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None or person(request).is_superuser:
            return super().get_fieldsets(request, obj)
        return ((None, {"fields": ("username", "first_name", "last_name", "email", "is_active")}),)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return person(request).is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return person(request).is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return person(request).is_superuser

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return person(request).is_superuser or super().has_view_permission(request, obj)

    def history_lines(self, request: HttpRequest, row: Any) -> Iterable[Line]:
        roles = list(memberships_of(row, may_see(request)))
        return [*logged(row), *roles] if person(request).is_superuser else roles
