//! `plugline completions` and `plugline man`: made from the command line itself, so they know every verb.

use std::io::Write;

use clap::CommandFactory;

/// Writes what a shell completes with.
///
/// # Errors
/// When `out` is closed.
pub fn completions(shell: clap_complete::Shell, out: &mut impl Write) -> anyhow::Result<()> {
    let mut command = super::Arguments::command();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "plugline", &mut script);
    Ok(out.write_all(&script)?)
}

/// Writes the manual page; one of each verb behind it.
///
/// # Errors
/// When `out` is closed.
pub fn man(out: &mut impl Write) -> anyhow::Result<()> {
    let mut command = super::Arguments::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(out)?;
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        let page = clap_mangen::Man::new(verb.clone());
        page.render_title(out)?;
        page.render_name_section(out)?;
        page.render_synopsis_section(out)?;
        page.render_options_section(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_and_the_manual_know_the_verbs() {
        use clap::ValueEnum;
        for shell in clap_complete::Shell::value_variants() {
            let mut script = Vec::new();
            completions(*shell, &mut script).expect("memory");
            let script = String::from_utf8(script).expect("text");
            assert!(script.contains("check-config") && script.contains("restore"), "{shell}");
        }
        let mut page = Vec::new();
        man(&mut page).expect("memory");
        let page = String::from_utf8(page).expect("text");
        for part in [".TH plugline 1", "check\\-config", "passphrase\\-file"] {
            assert!(page.contains(part), "{part}");
        }
    }
}
