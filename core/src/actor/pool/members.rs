//! The list of a pool's members, and how it changes.

use std::sync::Arc;

use super::builder::Members;
use super::{Member, Pool};
use crate::actor::supervisor::ChildError;
use crate::base::sync::lock_std;
use crate::sync::OwnedMutexGuard;

impl<M: Send + 'static> Pool<M> {
    pub(super) fn list(&self) -> Arc<Vec<Member<M>>> {
        Arc::clone(&lock_std(&self.0.members))
    }

    /// Takes those out of the list that are over, and those beyond `size`. Returns all that have been taken
    /// out, also earlier, and of which the supervisor still has the specs.
    pub(super) fn take_surplus(&self, size: usize) -> Vec<Member<M>> {
        let mut members = lock_std(&self.0.members);
        let (mut kept, over): (Vec<_>, Vec<_>) =
            members.iter().cloned().partition(|member| !member.process.is_closed());
        let surplus = kept.split_off(size.min(kept.len()));
        let before = std::mem::replace(&mut *members, Arc::new(kept));
        let mut gone = lock_std(&self.0.gone);
        gone.extend(over);
        gone.extend(surplus);
        let all = gone.clone();
        drop((gone, members));
        drop(before);
        all
    }

    /// Puts a member at the end of the list.
    fn add(&self, member: Member<M>) {
        let mut members = lock_std(&self.0.members);
        let all = members.iter().cloned().chain([member]).collect();
        let before = std::mem::replace(&mut *members, Arc::new(all));
        drop(members);
        drop(before);
    }

    /// Takes a member out of the list that takes no messages any more.
    pub(super) fn forget(&self, member: &Member<M>) {
        let mut members = lock_std(&self.0.members);
        let left: Vec<_> = members.iter().filter(|other| other.id != member.id).cloned().collect();
        if left.len() < members.len() {
            lock_std(&self.0.gone).push(member.clone());
        }
        let before = std::mem::replace(&mut *members, Arc::new(left));
        drop(members);
        // The last reference to a process may drop its messages, which are the user's.
        drop(before);
    }

    /// Starts one more member, and hands the lock on.
    pub(super) async fn grow(
        self,
        maker: Arc<dyn Members<M>>,
        mut next: OwnedMutexGuard<u64>,
    ) -> Result<OwnedMutexGuard<u64>, ChildError> {
        let spec = maker.spec(*next);
        *next += 1;
        let (id, child) = (Arc::from(spec.id()), spec.reference());
        if let Err(error) = self.0.supervisor.start_child(spec).await {
            if matches!(error, ChildError::Ignored) {
                self.delete(&id).await?;
            }
            return Err(error);
        }
        match child.process() {
            Some(process) => self.add(Member { id, process }),
            None => self.delete(&id).await?,
        }
        Ok(next)
    }

    /// Has the supervisor forget a child, which may run: one that has failed while it finished runs again.
    pub(super) async fn delete(&self, id: &str) -> Result<(), ChildError> {
        let deleted = match self.0.supervisor.terminate_child(id).await {
            Ok(()) => self.0.supervisor.delete_child(id).await,
            error => error,
        };
        // A resize that was given up may have been here before.
        if matches!(deleted, Err(ChildError::NotFound)) { Ok(()) } else { deleted }
    }
}
