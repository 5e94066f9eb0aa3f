from django.urls import path

from jobs.views import files, listing, operations, status, submit

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
    path("operations/", operations.operations_all, name="operations_all"),
    path("jobs/<str:ref>/", status.job_detail, name="job_detail"),
    path("jobs/<str:ref>/live/", status.job_live, name="job_live"),
    path("jobs/<str:ref>/result/", files.result_download, name="result_download"),
    path("jobs/<str:ref>/documents/<int:position>/", files.document_detail, name="document_detail"),
    path(
        "jobs/<str:ref>/documents/<int:position>/file/", files.document_file, name="document_file"
    ),
    path(
        "jobs/<str:ref>/files/<int:attempt>/<int:position>/", files.result_file, name="result_file"
    ),
]
