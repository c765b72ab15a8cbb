//! An `erl` that is asked about terms.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs, process};

/// An `erl` that answers questions.
pub(crate) struct Erlang {
    child: Child,
    socket: TcpStream,
    folder: PathBuf,
}

impl Erlang {
    /// Starts one. Returns `None` where none is installed, and says so.
    pub(crate) fn start() -> Option<Erlang> {
        let there = |tool: &str| {
            let mut command = Command::new(tool);
            command.arg("+V").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok()
        };
        if !there("erl") || !there("erlc") {
            twoply_tests::skip("there is no Erlang to compare with");
            return None;
        }
        let folder = env::temp_dir().join(format!("twoply-node-terms-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let source = folder.join("terms.erl");
        fs::write(&source, include_str!("../erlang/terms.erl")).unwrap();
        assert!(Command::new("erlc").arg("-o").arg(&folder).arg(source).status().unwrap().success());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let child = Command::new("erl")
            .args(["-noinput", "+S", "1:1", "-pa"])
            .arg(&folder)
            .args(["-s", "terms", "main", &port])
            .stdin(Stdio::null())
            .spawn();
        let child = child.unwrap();
        let (socket, _) = listener.accept().unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Some(Erlang { child, socket, folder })
    }

    /// Returns the answer of `terms.erl` to a question of these parts.
    pub(crate) fn ask(&mut self, question: &[&[u8]]) -> Vec<u8> {
        let question = question.concat();
        let packet = [&(question.len() as u32).to_be_bytes(), question.as_slice()].concat();
        self.socket.write_all(&packet).unwrap();
        let mut len = [0; 4];
        self.socket.read_exact(&mut len).unwrap();
        let mut answer = vec![0; u32::from_be_bytes(len) as usize];
        self.socket.read_exact(&mut answer).unwrap();
        answer
    }
}

impl Drop for Erlang {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
