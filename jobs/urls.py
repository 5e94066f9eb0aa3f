from django.urls import path

from jobs.views import files, follow_up, library, listing, operations, reextract, status, submit

app_name = "jobs"
urlpatterns = [
    path("w/<slug:workspace>/jobs/", listing.job_list, name="job_list"),
    path("w/<slug:workspace>/jobs/new/", submit.type_list, name="type_list"),
    path("w/<slug:workspace>/jobs/new/<slug:type>/", submit.job_submit, name="job_submit"),
    path(
        "w/<slug:workspace>/jobs/new/<slug:type>/files/",
        submit.upload_create,
        name="upload_create",
    ),
    path(
        "w/<slug:workspace>/jobs/new/<slug:type>/files/<uuid:upload>/remove/",
        submit.upload_remove,
        name="upload_remove",
    ),
    path("w/<slug:workspace>/operations/", operations.operations, name="operations"),
    path("w/<slug:workspace>/library/", library.library_list, name="library"),
    path("w/<slug:workspace>/library/add/", library.library_add, name="library_add"),
    path(
        "w/<slug:workspace>/library/<str:document>/", library.library_detail, name="library_detail"
    ),
    path(
        "w/<slug:workspace>/library/<str:document>/file/", library.library_file, name="library_file"
    ),
    path(
        "w/<slug:workspace>/library/<str:document>/withdraw/",
        library.library_withdraw,
        name="library_withdraw",
    ),
    path("operations/", operations.operations_all, name="operations_all"),
    path("jobs/<str:ref>/", status.job_detail, name="job_detail"),
    path("jobs/<str:ref>/live/", status.job_live, name="job_live"),
    path("jobs/<str:ref>/follow-up/", follow_up.job_follow_up, name="job_follow_up"),
    path("jobs/<str:ref>/re-extract/", reextract.job_re_extract, name="job_re_extract"),
    path("jobs/<str:ref>/keep/", library.job_keep, name="job_keep"),
    path("jobs/<str:ref>/result/", files.result_download, name="result_download"),
    path("jobs/<str:ref>/documents/<int:position>/", files.document_detail, name="document_detail"),
    path(
        "jobs/<str:ref>/documents/<int:position>/file/", files.document_file, name="document_file"
    ),
    path(
        "jobs/<str:ref>/files/<int:attempt>/<int:position>/", files.result_file, name="result_file"
    ),
]
