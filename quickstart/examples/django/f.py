# Django in one file: a form with its protection against forged requests, a signed cookie, a JSON view. No database.
#
#   http://localhost:8080/run/django/                in a browser
#   curl 'localhost:8080/run/django/days?from=2024-02-01&to=2024-03-01'
import os

from django import forms
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse
from django.middleware.csrf import get_token
from django.template import Context, Engine
from django.urls import path, reverse
from django.views.decorators.http import require_GET

settings.configure(
    # Of ol.yaml: what one sandbox signs the others must believe.
    SECRET_KEY=os.environ["SECRET_KEY"],
    # The worker is asked by whatever name it has; an app that makes links from it should say which.
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    USE_TZ=True,
)

PAGE = Engine().from_string("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Greetings</title>
<h1>{% if name %}Hello, {{ name }}!{% else %}Who are you?{% endif %}</h1>
<form method="post">
<input type="hidden" name="csrfmiddlewaretoken" value="{{ csrf_token }}">
{{ form.as_p }}
<button>Tell</button>
</form>
</html>
""")


class NameForm(forms.Form):
    name = forms.CharField(max_length=40)


class DaysForm(forms.Form):
    to = forms.DateField()

    def __init__(self, *args):
        super().__init__(*args)
        # A word that Python keeps for itself.
        self.fields["from"] = forms.DateField()


def home(request):
    form = NameForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        reply = HttpResponseRedirect(reverse("home"))
        reply.set_signed_cookie("name", form.cleaned_data["name"], httponly=True, samesite="Lax", path=reverse("home"))
        return reply
    name = request.get_signed_cookie("name", default="")
    context = {"name": name, "form": form, "csrf_token": get_token(request)}
    return HttpResponse(PAGE.render(Context(context)), status=400 if form.errors else 200)


@require_GET
def days(request):
    form = DaysForm(request.GET)
    if not form.is_valid():
        return JsonResponse({"errors": form.errors}, status=400)
    return JsonResponse({"days": (form.cleaned_data["to"] - form.cleaned_data["from"]).days})


urlpatterns = [path("", home, name="home"), path("days", days)]
app = get_wsgi_application()
