"""SEND SMS, batches, messages and REPORTS."""

from django.urls import path, re_path

from messaging.views import batches, carrier, inbox, messages, movements, preparing, reports, send

app_name = "messaging"

urlpatterns = [
    path("send/", send.send, name="send"),
    path("send/<slug:code>/", preparing.preparation, name="send-prepared"),
    path("send/<slug:code>/progress/", preparing.preparation_progress, name="send-progress"),
    path("batches/", batches.batch_list, name="batch-list"),
    path("batches/<slug:code>/", batches.batch_detail, name="batch-detail"),
    path("batches/<slug:code>/left-out.csv", batches.batch_left_out, name="batch-left-out"),
    path("batches/<slug:code>/progress/", batches.batch_progress, name="batch-progress"),
    path("batches/<slug:code>/cancel/", batches.batch_cancel, name="batch-cancel"),
    path("batches/<slug:code>/time/", batches.batch_time, name="batch-time"),
    path("messages/", messages.message_list, name="message-list"),
    path("messages/<uuid:key>/", messages.message_detail, name="message-detail"),
    path("billing/movements/<uuid:public_id>/", movements.movement, name="movement"),
    path("inbox/", inbox.inbox_page, name="inbox"),
    path("inbox/list/", inbox.conversation_list, name="inbox-list"),
    path("inbox/<slug:code>/", inbox.conversation, name="conversation"),
    path("inbox/<slug:code>/thread/", inbox.conversation_thread, name="conversation-thread"),
    path("inbox/<slug:code>/reply/", inbox.conversation_reply, name="conversation-reply"),
    path("inbox/<slug:code>/read/", inbox.conversation_read, name="conversation-read"),
    path("inbox/<slug:code>/assign/", inbox.conversation_assign, name="conversation-assign"),
    path("reports/", reports.reports, name="reports"),
    path("reports/margins/", movements.margins, name="margins"),
    path("reports/margins.csv", movements.margins_csv, name="margins-csv"),
    path("reports/margins.xlsx", movements.margins_xlsx, name="margins-xlsx"),
    path("reports/messages.csv", reports.message_export, name="message-export"),
    path("reports/clients/", reports.activity, name="client-activity"),
    path("reports/clients.csv", reports.activity_export, name="client-activity-export"),
    path("reports/clients.xlsx", reports.activity_xlsx, name="client-activity-xlsx"),
    # With and without the slash: carriers type it either way, and a redirect would lose what they post.
    re_path(r"^carrier/(?P<code>[-\w]+)/inbound/(?P<secret>[-\w]+)/?$", carrier.inbound, name="carrier-inbound"),
    re_path(r"^carrier/(?P<code>[-\w]+)/receipts/(?P<secret>[-\w]+)/?$", carrier.receipts, name="carrier-receipts"),
]
