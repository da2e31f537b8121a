//! Findings about tools by which others control a computer.

use crate::finding::Rule;

pub(super) static TOOL_STANDING: Rule = Rule {
    id: "remote.tool-standing",
    title: "A remote-support tool was left running",
    meaning: "A program for remote support has been in touch with its maker's servers for more \
              than a day without being used. Whoever knows its password, or takes over the \
              account, controls the computer past the router and past any VPN.",
    action: "Ask who installed it. Remove it if nobody needs it; otherwise let it start on demand \
             only, with a second factor on its account.",
    refute: "A session shorter than a minute, or a slow one, is not told from none.",
};

pub(super) static TOOL_IN_USE: Rule = Rule {
    id: "remote.tool-in-use",
    title: "A remote-support tool was used",
    meaning: "Somebody saw or controlled this computer from elsewhere, or moved files, by a \
              program for remote support.",
    action: "Make sure that it was somebody you had asked, and that the program was removed \
             afterwards.",
    refute: "An update of the program itself may move as much.",
};

pub(super) static TOOL_SEEN: Rule = Rule {
    id: "remote.tool-seen",
    title: "A remote-support tool is installed",
    meaning: "A program for remote support was in touch with its maker's servers, or looked for \
              them. For how long it has been there, these frames do not say.",
    action: "Ask who installed it, and remove it if nobody needs it.",
    refute: "A computer that only helps others has the same program.",
};
