# Returns what it was sent. What it prints goes to its log, each line with the invocation's id in front.
#
#   npx ol-admin invoke echo -d '[1, {"two": null}]'
#   npx ol-admin logs echo


def f(event):
    print("received", event)
    return event
