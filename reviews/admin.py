from django.contrib import admin

from jobs.admin import ReadOnly
from reviews.models import Decision, ReviewerNote


@admin.register(Decision)
class DecisionAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("job", "ruling", "actor", "role", "level", "at")
    list_filter = ("ruling", "role")
    list_select_related = ("job", "actor")
    search_fields = ("=job__ref", "=actor__username")
    ordering = ("-id",)
    show_full_result_count = False


@admin.register(ReviewerNote)
class ReviewerNoteAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("job", "author", "text", "created_at")
    list_select_related = ("job", "author")
    search_fields = ("=job__ref",)
    ordering = ("-id",)
    show_full_result_count = False
