#!/usr/bin/python3
"""What a desktop offers to its programs on the session bus, made here: desktop_bus.py FOLDER [KEYRING]

Notifications (org.freedesktop.Notifications) are written as lines of JSON to FOLDER/notifications; each file that a program asks a
person for (org.freedesktop.portal.FileChooser) is FOLDER/chosen. With KEYRING there is a keyring (org.freedesktop.secrets), too: empty, and it takes nothing, for the reason that is given.
Says "ready" when all names are its own.
"""
import json
import os
import sys

from gi.repository import Gio, GLib

FOLDER = sys.argv[1]
NOTIFICATIONS = """<node><interface name='org.freedesktop.Notifications'>
<method name='Notify'><arg type='s' direction='in'/><arg type='u' direction='in'/><arg type='s' direction='in'/>
<arg type='s' direction='in'/><arg type='s' direction='in'/><arg type='as' direction='in'/><arg type='a{sv}' direction='in'/>
<arg type='i' direction='in'/><arg type='u' direction='out'/></method>
<method name='CloseNotification'><arg type='u' direction='in'/></method>
<method name='GetCapabilities'><arg type='as' direction='out'/></method>
<method name='GetServerInformation'><arg type='s' direction='out'/><arg type='s' direction='out'/><arg type='s' direction='out'/>
<arg type='s' direction='out'/></method></interface></node>"""
CHOOSER = """<node><interface name='org.freedesktop.portal.FileChooser'>
<method name='OpenFile'><arg type='s' direction='in'/><arg type='s' direction='in'/><arg type='a{sv}' direction='in'/>
<arg type='o' direction='out'/></method>
<method name='SaveFile'><arg type='s' direction='in'/><arg type='s' direction='in'/><arg type='a{sv}' direction='in'/>
<arg type='o' direction='out'/></method></interface></node>"""

KEYRING = """<node><interface name='org.freedesktop.Secret.Service'>
<method name='OpenSession'><arg type='s' direction='in'/><arg type='v' direction='in'/><arg type='v' direction='out'/>
<arg type='o' direction='out'/></method>
<method name='SearchItems'><arg type='a{ss}' direction='in'/><arg type='ao' direction='out'/><arg type='ao' direction='out'/></method>
</interface></node>"""
COLLECTION = """<node><interface name='org.freedesktop.Secret.Collection'>
<method name='CreateItem'><arg type='a{sv}' direction='in'/><arg type='(oayays)' direction='in'/><arg type='b' direction='in'/>
<arg type='o' direction='out'/><arg type='o' direction='out'/></method></interface></node>"""


def keyring(_bus, _sender, _path, _interface, method, arguments, invocation):
    if method == "SearchItems":
        invocation.return_value(GLib.Variant("(aoao)", ([], [])))
    elif method == "CreateItem":
        invocation.return_dbus_error("org.freedesktop.DBus.Error.Failed", sys.argv[2])
    elif arguments.unpack()[0] == "plain":
        invocation.return_value(GLib.Variant("(vo)", (GLib.Variant("s", ""), "/org/freedesktop/secrets/session/test")))
    else:
        invocation.return_dbus_error("org.freedesktop.DBus.Error.NotSupported", "plain only")


def notify(_bus, _sender, _path, _interface, method, arguments, invocation):
    if method == "Notify":
        program, _, _, summary, body, *_ = arguments.unpack()
        with open(os.path.join(FOLDER, "notifications"), "a", encoding="utf-8") as out:
            out.write(json.dumps({"program": program, "summary": summary, "body": body}) + "\n")
        invocation.return_value(GLib.Variant("(u)", (1,)))
    elif method == "GetCapabilities":
        invocation.return_value(GLib.Variant("(as)", (["body"],)))
    elif method == "GetServerInformation":
        invocation.return_value(GLib.Variant("(ssss)", ("test", "test", "1", "1.2")))
    else:
        invocation.return_value(None)


def choose(bus, sender, _path, _interface, _method, arguments, invocation):
    token = arguments.unpack()[2].get("handle_token", "t")
    handle = f"/org/freedesktop/portal/desktop/request/{sender[1:].replace('.', '_')}/{token}"
    invocation.return_value(GLib.Variant("(o)", (handle,)))
    chosen = {"uris": GLib.Variant("as", [Gio.File.new_for_path(os.path.join(FOLDER, "chosen")).get_uri()])}
    bus.emit_signal(sender, handle, "org.freedesktop.portal.Request", "Response", GLib.Variant("(ua{sv})", (0, chosen)))


def main():
    loop = GLib.MainLoop()
    bus = Gio.bus_get_sync(Gio.BusType.SESSION, None)
    offered = [(NOTIFICATIONS, "/org/freedesktop/Notifications", notify), (CHOOSER, "/org/freedesktop/portal/desktop", choose)]
    wanted = {"org.freedesktop.Notifications", "org.freedesktop.portal.Desktop"}
    if len(sys.argv) > 2:
        offered += [(KEYRING, "/org/freedesktop/secrets", keyring), (COLLECTION, "/org/freedesktop/secrets/aliases/default", keyring)]
        wanted.add("org.freedesktop.secrets")
    for description, path, call in offered:
        bus.register_object(path, Gio.DBusNodeInfo.new_for_xml(description).interfaces[0], call, None, None)

    def owned(_bus, name):
        wanted.discard(name)
        if not wanted:
            print("ready", flush=True)
    for name in sorted(wanted):
        Gio.bus_own_name_on_connection(bus, name, Gio.BusNameOwnerFlags.NONE, owned, lambda *_: loop.quit())
    loop.run()


if __name__ == "__main__":
    main()
