//! Servers of databases, each in a temporary directory and ended with the test.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The time in which a server has to be there.
const START: Duration = Duration::from_secs(60);

/// A server that runs until this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// The directory with its data, which goes along.
    folder: PathBuf,
    /// The port on the loopback interface on which it listens; 0 when it does not.
    pub port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Returns a port on which nobody listens.
///
/// # Errors
/// When the system refuses a socket.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Starts a Redis server; `None`, with a word about it, where there is none.
///
/// # Errors
/// When it is there and does not start.
pub fn redis() -> io::Result<Option<Server>> {
    let Some(program) = find("redis-server", &[]) else { return Ok(skipped("redis-server")) };
    let (folder, port) = (folder("redis")?, free_port()?);
    let child = Command::new(program)
        .args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string(), "--dir"])
        .arg(&folder)
        .stdout(Stdio::null())
        .spawn()?;
    Server { child, folder, port }.once(Server::listens).map(Some)
}

/// Starts a NATS server; `None`, with a word about it, where there is none.
///
/// # Errors
/// When it is there and does not start.
pub fn nats() -> io::Result<Option<Server>> {
    // Debian has it among the programs of the administrator.
    let Some(program) = find("nats-server", &["/usr/sbin".into()]) else { return Ok(skipped("nats-server")) };
    let (folder, port) = (folder("nats")?, free_port()?);
    let child = Command::new(program)
        .args(["--addr", "127.0.0.1", "--port", &port.to_string()])
        .stderr(Stdio::null())
        .spawn()?;
    Server { child, folder, port }.once(Server::listens).map(Some)
}

/// Starts a PostgreSQL server whose user is `postgres`, without a password; `None`, with a word about it,
/// where there is none.
///
/// # Errors
/// When it is there and does not start.
pub fn postgres() -> io::Result<Option<Server>> {
    let debian = Path::new("/usr/lib/postgresql");
    let versions = std::fs::read_dir(debian).into_iter().flatten().flatten();
    let folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    let (Some(initdb), Some(program)) = (find("initdb", &folders), find("postgres", &folders)) else {
        return Ok(skipped("postgres"));
    };
    let (folder, port) = (folder("postgres")?, free_port()?);
    // The server refuses to be run by root.
    let (user, group) = user_of("postgres").or_else(|| user_of("nobody")).unwrap_or((65_534, 65_534));
    let as_user = |program: &Path| {
        let mut command = Command::new(program);
        if is_root() {
            command.uid(user).gid(group);
        }
        command.current_dir(&folder).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    if is_root() {
        std::os::unix::fs::chown(&folder, Some(user), Some(group))?;
    }
    let data = folder.join("data");
    let made = as_user(&initdb)
        .args(["--username=postgres", "--auth=trust", "--no-sync", "--no-locale", "--encoding=UTF8"])
        .arg(&data)
        .status()?;
    if !made.success() {
        return Err(io::Error::other(format!("initdb: {made}")));
    }
    let child = as_user(&program)
        .args(["-F", "-h", "127.0.0.1", "-p", &port.to_string(), "-k", "", "-D"])
        .arg(&data)
        .spawn()?;
    // It listens before it is done starting up; the last line of its lock file tells of that.
    let is_ready = |server: &Server| {
        let status = std::fs::read_to_string(server.folder.join("data/postmaster.pid"));
        status.is_ok_and(|status| status.lines().last().is_some_and(|line| line.trim() == "ready"))
    };
    Server { child, folder, port }.once(is_ready).map(Some)
}

/// Starts a browser without a window that shows the page at `url`; `None`, with a word about it, where there
/// is none.
///
/// # Errors
/// When it is there and does not start.
pub fn browser(url: &str) -> io::Result<Option<Server>> {
    let names = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];
    let Some(program) = names.iter().find_map(|name| find(name, &[])) else { return Ok(skipped("chromium")) };
    let folder = folder("browser")?;
    let child = Command::new(program)
        // Its sandbox refuses root, and this page is our own. With a port for debuggers, it stays.
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"])
        .arg(format!("--user-data-dir={}", folder.display()))
        .arg(url)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Some(Server { child, folder, port: 0 }))
}

impl Server {
    fn listens(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).is_ok()
    }

    /// Returns the server once it is ready.
    fn once(mut self, is_ready: impl Fn(&Server) -> bool) -> io::Result<Server> {
        let end = Instant::now() + START;
        while !is_ready(&self) {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("a server ended as it began: {status}")));
            }
            if Instant::now() > end {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(self)
    }
}

fn skipped(program: &str) -> Option<Server> {
    twoply_tests::skip(&format!("{program} is not installed"));
    None
}

/// Returns the path of a program in `folders` or in `PATH`.
fn find(program: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = folders.iter().cloned().chain(std::env::split_paths(&path));
    all.map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Makes an empty directory.
fn folder(name: &str) -> io::Result<PathBuf> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("twoply-{name}-{}-{number}", std::process::id()));
    std::fs::create_dir(&folder)?;
    Ok(folder)
}

/// Returns the numbers of a user of this system and of its group.
fn user_of(name: &str) -> Option<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let user = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = user.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Returns whether this process is run by root.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
