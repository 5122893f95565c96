//! What happens, and what should.

use anyhow::{Context as _, Result};

use super::site::{ANTHROPIC, OPENAI, Site, wait};

/// Tells the story and returns how many things differed from it.
pub(super) fn tell(site: &Site) -> Result<u32> {
    let mut story = Story {
        site,
        differences: 0,
    };
    println!("\nThe policy:\n");
    for line in site.policy().lines() {
        println!("    {line}");
    }
    println!("\nThe calls:\n");
    story.call("reports", OPENAI, Program::Curl, "granted", true)?;
    story.call(
        "reports",
        ANTHROPIC,
        Program::Curl,
        "granted for openai only",
        false,
    )?;
    story.call(
        "notebook",
        OPENAI,
        Program::Curl,
        "nobody granted it anything",
        false,
    )?;
    story.call("notebook", OPENAI, Program::Python, "nor in Python", false)?;
    story.call(
        "trial",
        ANTHROPIC,
        Program::Python,
        "granted for some seconds",
        true,
    )?;
    println!("  ... the trial's grant ends by itself ...");
    story.wait_for_the_end_of_the_trial()?;
    story.call(
        "trial",
        ANTHROPIC,
        Program::Python,
        "the grant has ended",
        false,
    )?;
    story.call("reports", OPENAI, Program::Curl, "still granted", true)?;
    story.usage()?;
    story.explain()?;
    Ok(story.differences)
}

#[derive(Clone, Copy)]
enum Program {
    Curl,
    Python,
}

struct Story<'a> {
    site: &'a Site,
    differences: u32,
}

impl Story<'_> {
    fn call(
        &mut self,
        workload: &str,
        (host, _): (&str, &str),
        program: Program,
        why: &str,
        should_succeed: bool,
    ) -> Result<()> {
        let (succeeded, said) = self.attempt(workload, host, program)?;
        let name = match program {
            Program::Curl => "curl",
            Program::Python => "python",
        };
        println!("  {workload:<9} {name:<7} https://{host:<18} ({why}): {said}");
        self.check("that call", succeeded == should_succeed);
        Ok(())
    }

    fn attempt(&self, workload: &str, host: &str, program: Program) -> Result<(bool, String)> {
        let certificate = self.site.certificate().display().to_string();
        let url = format!("https://{host}/v1/chat/completions");
        match program {
            Program::Curl => self.site.call(
                workload,
                &[
                    "curl",
                    "--silent",
                    "--show-error",
                    "--max-time",
                    "5",
                    "--cacert",
                    &certificate,
                    "--data",
                    "{\"prompt\": \"summarise\"}",
                    "--output",
                    "/dev/null",
                    "--write-out",
                    "HTTP %{http_code}\n",
                    &url,
                ],
            ),
            Program::Python => self.site.call(
                workload,
                &["python3", "-c", include_str!("call.py"), host, &certificate],
            ),
        }
    }

    fn wait_for_the_end_of_the_trial(&self) -> Result<()> {
        wait("the end of the trial's grant", || {
            let grants = self.site.json(&["grant", "list", "--all"])?;
            let mut grants = grants["grants"].as_array().into_iter().flatten();
            let trial = grants.find(|grant| grant["name"] == "trial");
            Ok(trial.filter(|grant| grant["state"] == "expired").map(drop))
        })
    }

    fn usage(&mut self) -> Result<()> {
        println!("\n$ weir usage --by identity,endpoint\n");
        print!(
            "{}",
            self.site.weir(&["usage", "--by", "identity,endpoint"])?
        );
        let report = self.site.json(&["usage", "--by", "identity,endpoint"])?;
        for (workload, endpoint, allowed, denied) in [
            ("reports", "openai", 2, 0),
            ("reports", "anthropic", 0, 1),
            ("notebook", "openai", 0, 2),
            ("trial", "anthropic", 1, 1),
        ] {
            let identity = self.site.identity(workload);
            let mut rows = report["rows"].as_array().into_iter().flatten();
            let row = rows.find(|row| row["key"][0] == identity && row["key"][1] == endpoint);
            let found = row.map(|row| (&row["connections_allowed"], &row["connections_denied"]));
            let is_right = found.is_some_and(|(a, d)| *a == allowed && *d == denied);
            self.check(&format!("usage of {endpoint} by {workload}"), is_right);
        }
        Ok(())
    }

    fn explain(&mut self) -> Result<()> {
        let events = self.site.weir(&["events", "--verdict", "deny", "--json"])?;
        let identity = self.site.identity("notebook");
        let refusal = events.lines().find(|line| line.contains(&identity));
        let refusal: serde_json::Value =
            serde_json::from_str(refusal.context("an event of the refusal")?)?;
        let id = refusal["id"].to_string();
        println!("\n$ weir explain --event {id}\n");
        print!("{}", self.site.weir(&["explain", "--event", &id])?);
        let explanation = self.site.json(&["explain", "--event", &id])?;
        let is_right = explanation["verdict"] == "deny" && explanation["reason"] == "no-grant";
        self.check("the explanation", is_right);
        Ok(())
    }

    fn check(&mut self, what: &str, is_right: bool) {
        if !is_right {
            println!("  ^ {what} DIFFERS from the story");
            self.differences += 1;
        }
    }
}
