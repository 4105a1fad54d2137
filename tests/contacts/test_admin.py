"""Staff's view of opt-outs (contacts/admin.py)."""

from accounts.models import User
from contacts.models import OptOut
from contacts.services.opt_outs import opt_in, opt_out
from tests.cast import PASSWORD, LogIn, Member

ANNA, BEN = "+61412345678", "+61412345679"


def test_staff_find_an_opt_out_by_its_number_and_change_none(client_member: Member, reseller: Member, log_in: LogIn):
    for number in (ANNA, BEN):
        opt_out(account=client_member.account, number=number, source="reply", detail="Stop it")
    opt_in(account=client_member.account, number=BEN, reason="asked for it")
    staff = log_in(User.objects.create_superuser("staff", "staff@test.example", PASSWORD, name="Staff"))
    path = "/admin/contacts/optout/"

    def found(**query: str) -> list[str]:
        return [row.number for row in staff.get(path, query).context["cl"].result_list]

    assert found() == [BEN, ANNA]
    assert found(q=ANNA) == [ANNA]
    assert found(q=reseller.account.code) == []
    assert found(state="in-force") == [ANNA]
    assert found(state="ended") == [BEN]
    one = OptOut.objects.get(number=ANNA)
    assert "Stop it" in staff.get(f"{path}{one.pk}/change/").content.decode()
    assert staff.post(f"{path}{one.pk}/change/", {"number": BEN}).status_code == 403
    assert staff.post(f"{path}{one.pk}/delete/", {"post": "yes"}).status_code == 403
    assert OptOut.objects.get(pk=one.pk).number == ANNA
