from reviews.admin import delivery, desk, history, notices

__all__ = ["delivery", "desk", "history", "notices"]
